"""Model families: what each does differently, behind one interface."""

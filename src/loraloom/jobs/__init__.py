"""Jobs: the only place where siblings meet, and the only writer of run folders."""

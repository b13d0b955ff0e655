"""What is looked for in a training folder, each thing by a small pure function of its own."""

"""The parts of the demonstration: its training folders, its pictures, its measurements."""

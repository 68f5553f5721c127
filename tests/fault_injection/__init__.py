"""Kill processes, stop databases, fill disks: real faults for a whole installation."""

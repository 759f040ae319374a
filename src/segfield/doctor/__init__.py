"""What is installed, broken or missing. Nothing here imports what it examines: that happens in a process of its own."""

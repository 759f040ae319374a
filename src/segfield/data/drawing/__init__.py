"""The painter of street scenes: layout, shapes, light and camera, in numpy and Pillow alone."""

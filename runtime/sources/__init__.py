"""Where frames come from: pictures, video files, cameras, streams."""

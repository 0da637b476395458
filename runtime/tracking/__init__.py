"""Who is who from frame to frame, and labels that do not flicker."""

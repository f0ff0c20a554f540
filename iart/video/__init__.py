"""Videos: from a file to RGB frames and back, with times, colors, sound and subtitles."""

"""Upscaling of videos and folders of frames as a stream, in segments that survive interruptions."""

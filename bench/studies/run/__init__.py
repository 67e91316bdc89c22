"""The main job: what does tracing cost?"""

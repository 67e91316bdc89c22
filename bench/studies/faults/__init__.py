"""What do clients notice when the tracing backend fails?"""

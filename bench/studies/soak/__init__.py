"""Does anything grow under load for a long time?"""

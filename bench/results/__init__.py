"""Results folders: written, read back, sealed, verified, compared and followed over time.

Raw records are appended as they happen; everything else in a folder can be made again from them.
"""

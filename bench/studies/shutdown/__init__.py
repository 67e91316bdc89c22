"""Which server stacks keep their spans when they are stopped?"""

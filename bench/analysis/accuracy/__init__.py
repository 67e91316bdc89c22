"""How far the harness can be believed: known costs, measured again and again.

`trials` says what is compared in one run, `figures` derives true against found, `targets` what is asked.
"""

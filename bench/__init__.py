"""What does tracing cost a real checkout? A load-testing and tracing-overhead harness.

Reading order, from the bottom up; imports only ever go downward in this list:

1. `errors`, `model`, `findings`: what can go wrong; what is planned and read; what follows.
2. `setups`, `plan`, `stats`, `cells`, `line`, `layers`, `ledger`: pure. What is compared, when each request
   is sent, what the numbers may claim, CPU per checkout, what each layer adds, where every span went.
   `journey` tells a single trace, `otlp` writes and reads it.
3. `search`, `gates`, then `collected`, `health`, `blocks`, `doubts`, `latency` and `overhead`: pure. Slices
   and windows become figures with verdicts and caveats; `timings` does so for microbenchmarks, `emission`
   for the specification's report, and `calibration` says what such figures are worth.
4. `differences`, `compare`, `gate`, `history`: pure. What two results, a budget, a row of results say.
5. `report`: pure. Figures become one document, and that a terminal's tables, Markdown or a page.
6. `process`, `leash`, `fleet`, `target`, `sink`, `load`, `meter`, `machine`, `store`, `manifest`: the outside
   world, a room each. `backends`: collectors and trace backends that somebody else wrote.
7. `rig` puts them together; `experiment` carries out a plan with it, `solo` its blocks, `doctor` a
   small one, `calibrate` many small ones; `generator` compares load generators, `story` sends one checkout.
   `micro` and `spec` have processes of their own.
8. `results` reads a folder back and publishes what follows from it, `verify` looks whether it does.
9. `display`, `options`, `commands`, `cli`: parse, call, print.

Rule 1: nothing up to `report` reads a clock, a file or a socket; randomness comes in as a seed.
Rule 2: raw results are appended as they happen; everything else is derived from them.
Rule 3: a figure that cannot be believed is marked invalid, never left out and never shown as cheap.
"""

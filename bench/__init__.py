"""What does tracing cost your service? A load-testing and tracing-overhead benchmark harness.

Reading order; a package imports only from those before it:

1. `errors`: what a user can do something about.
2. `app`: the app file, its presets and setups.
3. `plan`: setups, blocks and the timetable of time slices, all of it from one seed.
4. `receiver`: the process that receives spans.
5. `testbed`: processes, clocks, control groups and load; the only package that touches the machine.
   `analysis`: pure; time slices become figures per block, and these intervals, checks and verdicts.
6. `runner`: carries out a plan. `results`: its folder is written, read, compared, gated and verified.
7. `report`: figures become tables, charts and sentences.
8. `traces`: a single trace told as a scenario; real collectors and trace backends.
   `micro` and `spec`: benchmarks with processes of their own.
9. `cli`: parses the command line, calls, prints.

Raw records are appended as they happen; everything else is derived from them and can be made again.
Figures that cannot be believed are marked invalid: they are neither left out nor shown as cheap.
"""

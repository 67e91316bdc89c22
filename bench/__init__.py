"""What does tracing cost your service? A load-testing and tracing-overhead benchmark harness.

Reading order; a package imports only from those above it:

1. `errors`: what a user can correct.
2. `app`: the app file, its setups and presets.
3. `plan`: what a run will do, all of it from one seed: setups, replicates, blocks, time slices, arrivals.
4. `receiver`: the process that receives spans and counts them.
5. `testbed`: processes, clocks, control groups and load.
   `analysis`: pure; readings become figures per block, and these estimates, intervals, checks and verdicts.
6. `runner`: carries out a plan and learns the application. `results`: writes, reads and verifies its folder.
7. `report`: figures become sentences, tables, charts, Markdown, a page, and what CI reads.
8. `compare`: several results: what changed, may it be merged, how it developed.
   `traces`: one trace as a waterfall; real collectors and trace backends.
9. `studies`: one folder per question, with options, measurement, figures and report; `run` is the main one.
10. `cli`: the command line, made from the registry of studies and a few commands of its own.

Follow one run: `cli.studies.measure` has `studies.run.prepare` make a plan
(`studies.run.planning`); `runner.run.carry_out` performs its steps on a testbed (`testbed.testbed`) and
logs each (`results.store`); `analysis.summary.summarise` makes every figure from the log, and `report.run`
a document from the figures.

Raw records are appended as they happen; everything else is derived from them and can be made again.
Invalid figures are marked: they are neither left out nor reported as cheap.
"""

"""The command line; `commands` lists every command and the module that has it."""

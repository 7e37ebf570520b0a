#!/usr/bin/env node
// `tilegrad <command>`: one name for all that the project does; commands.ts has the commands.
import './compile-cache.ts'

const [{ runCommand }, { tilegrad }] = await Promise.all([import('./main.ts'), import('./commands.ts')])
await runCommand(tilegrad)

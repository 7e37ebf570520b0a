#!/usr/bin/env node
// `tilegrad <command>`: one name for all that the project does; commands.ts has the commands.
const LEAST_NODE = 22

if (Number(process.versions.node.split('.')[0]) < LEAST_NODE) {
  process.stderr.write(`tilegrad: Node ${LEAST_NODE} or newer is needed, and this is ${process.version}\n`)
  process.exit(2)
}
await import('./compile-cache.ts')
const [{ runCommand }, { tilegrad }] = await Promise.all([import('./main.ts'), import('./commands.ts')])
await runCommand(tilegrad)

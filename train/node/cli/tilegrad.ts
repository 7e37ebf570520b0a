#!/usr/bin/env node
// `tilegrad <command>`: one name for all that the project does; commands.ts has the commands.
const LEAST_NODE = 22

const isOld = Number(process.versions.node.split('.')[0]) < LEAST_NODE
// The set-up is also for programs on Node 20, which is enough for all but the commands.
if (isOld && process.argv[2] !== 'setup') {
  process.stderr.write(`tilegrad: Node ${LEAST_NODE} or newer is needed, and this is ${process.version}\n`)
  process.exit(2)
}
if (!isOld) await import('./compile-cache.ts')
const [{ runCommand }, { tilegrad }] = await Promise.all([import('./main.ts'), import('./commands.ts')])
await runCommand(tilegrad)

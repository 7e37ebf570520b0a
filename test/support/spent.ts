// Processor time: of this process, of its children, and of the commands that it had run (warm/client.ts).
import { readFileSync } from 'node:fs'
import { commandSeconds } from './warm/client.ts'

/** Seconds that this process has taken so far and, on Linux, its children that have ended. */
export function processorSeconds(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1e6 + childrenSpent()
}

function childrenSpent(): number {
  if (process.platform !== 'linux') return 0
  // Fields 3 and up follow the name, which may contain spaces. 16 and 17 are the children's, in hundredths of a second.
  const fields = readFileSync('/proc/self/stat', 'utf8').split(') ').at(-1)?.split(' ') ?? []
  return (Number(fields[13]) + Number(fields[14])) / 100
}

let counted = 0

/** Seconds of all of them since the last call, or since the process began. */
export function spentSince(): number {
  const before = counted
  counted = processorSeconds() + commandSeconds()
  return counted - before
}

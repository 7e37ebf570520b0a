// Writes masks.json beside this file, which make.py reads.
import { writeFile } from 'node:fs/promises'
import { masks, pathOf } from './masks.ts'

const { rows, places } = await masks()
const lines = (list: readonly unknown[]): string => list.map(one => `  ${JSON.stringify(one)}`).join(',\n')
await writeFile(pathOf('masks.json'), `{\n"rows": [\n${lines(rows)}\n],\n"places": ${JSON.stringify(places)}\n}\n`)

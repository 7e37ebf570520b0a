// Writes the digits as files, which the programs in PyTorch read.
import { writeFileSync } from 'node:fs'
import { drawDigits } from './digits.ts'

for (const [name, { pixels, labels }] of Object.entries({ train: drawDigits(2000, 1), test: drawDigits(500, 2) })) {
  writeFileSync(`${name}.f32`, pixels)
  writeFileSync(`${name}.i32`, labels)
}

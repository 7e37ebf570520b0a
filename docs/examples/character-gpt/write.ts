// Writes the text as a file, which the program in PyTorch reads.
import { writeFileSync } from 'node:fs'
import { write } from './text.ts'

writeFileSync('text.txt', write(2000, 1))

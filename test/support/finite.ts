// Whether a folder holds anything but finite numbers.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { openSafetensors } from '../../models/node/files.ts'
import { filesBelow } from './command.ts'

/**
 * What in a folder's safetensors and JSON files is not finite, or stands for such a number: nothing, where all is well.
 */
export async function notFiniteBelow(folder: string): Promise<string[]> {
  const found: string[] = []
  for (const name of await filesBelow(folder)) {
    const path = join(folder, name)
    if (name.endsWith('.safetensors')) {
      const file = await openSafetensors(path)
      for (const tensor of file.names()) {
        for await (const { data } of file.chunks(tensor))
          if (!data.every(Number.isFinite)) found.push(`${name}: ${tensor}`)
      }
      await file.close()
    } else if (/\.jsonl?$/.test(name)) {
      const text = await readFile(path, 'utf8')
      for (const part of name.endsWith('l') ? text.split('\n').filter(line => line !== '') : [text]) {
        JSON.parse(part, (key, value: unknown) => {
          // Figures that were not measured have no key, but for those of a run without validation.
          const isFigure = /^(loss|accuracy|grad_norm|lr|test_\w+|f1)$/.test(key)
          if ((typeof value === 'number' && !Number.isFinite(value)) || (value === null && isFigure))
            found.push(`${name}: ${key} is ${String(value)}`)
          return value
        })
      }
    }
  }
  return found
}

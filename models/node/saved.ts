// The parameters of a module in a safetensors file.
import { type LoadOptions, type LoadedNames, loadTensors, savedTensors } from '../nn/saved.ts'
import type { Module } from '../nn/module.ts'
import { openSafetensors, writeSafetensors } from './files.ts'

/** Writes all parameters of a module to a file, by their names. The file is complete or not there at all. */
export async function saveFile(
  module: Module,
  path: string,
  metadata?: Readonly<Record<string, string>>,
): Promise<void> {
  await writeSafetensors(path, savedTensors(module), metadata)
}

/** Fills a module from such a file. Throws a UserError, with nothing written, on a file that does not fit: see `load`. */
export async function loadFile(module: Module, path: string, options: LoadOptions = {}): Promise<LoadedNames> {
  const file = await openSafetensors(path)
  try {
    return await loadTensors(module, file, options)
  } finally {
    await file.close()
  }
}

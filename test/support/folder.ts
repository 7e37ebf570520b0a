// A temporary folder for the tests of one file.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll } from 'vitest'

/** Makes a folder that is removed after the file's tests. Call it outside of tests. */
export async function temporaryFolder(name: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), `tilegrad-${name}-`))
  afterAll(() => rm(folder, { recursive: true }))
  return folder
}

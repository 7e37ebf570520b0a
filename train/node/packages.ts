// Packages that only commands need, by what they are for. They are optional peers of tilegrad, so npm does not install
// them for those who only compute; a command that needs one that is missing says how to add it.
import { createRequire } from 'node:module'
import { UserError } from '../../engine/errors.ts'
import { codeOf } from '../../models/node/regular-file.ts'
import { peerDependencies } from './package.ts'

export const PACKAGES = {
  bars: ['cli-progress'],
  charts: ['echarts'],
  parquet: ['hyparquet', 'hyparquet-compressors'],
  archives: ['tar'],
  /** Steps from texts to words. */
  words: [
    'dictionary-en',
    'emoji-regex',
    'entities',
    'node-emoji',
    'nspell',
    'stopword',
    'wink-lemmatizer',
    'wink-porter2-stemmer',
  ],
  sweeps: ['pg-boss', 'yaml'],
  pglite: ['@electric-sql/pglite'],
  postgres: ['pg'],
} as const

const { resolve } = createRequire(import.meta.url)

function isMissing(name: string): boolean {
  try {
    resolve(`${name}/package.json`)
    return false
  } catch (error) {
    // A package that is there may well not export its package.json.
    return codeOf(error) === 'MODULE_NOT_FOUND'
  }
}

/**
 * Throws a UserError if some of the packages that `what` needs are missing: it says how to install them, and those of
 * `also` with them, which it may need later.
 */
export function requirePackages(what: string, needed: readonly string[], also: readonly string[] = []): void {
  if (needed.some(isMissing)) throw missing(what, [...needed, ...also].filter(isMissing))
}

/** The same error for a package that could not be loaded; undefined for any other error. */
export function missingPackage(error: unknown): UserError | undefined {
  if (codeOf(error) !== 'ERR_MODULE_NOT_FOUND' || !(error instanceof Error)) return undefined
  const name = /^Cannot find package '([^']+)'/.exec(error.message)?.[1]
  return name !== undefined && Object.hasOwn(peerDependencies, name) ? missing('this command', [name]) : undefined
}

function missing(what: string, names: readonly string[]): UserError {
  const packages = names.map(name => `${name}@${peerDependencies[name]}`).join(' ')
  return new UserError(`${what} needs packages that are not installed with tilegrad: npm install ${packages}`)
}

// A baseline on disk: baseline.json, how texts become features and scores become answers, and model.safetensors, the
// n-grams with their weights.
import { join } from 'node:path'
import { WEIGHTS_FILE, openSafetensors, readJson, writeAtomic } from '../../../../models/node/files.ts'
import { serialize } from '../../../../models/safetensors.ts'
import { BaselineClassifier } from '../../../baseline/classifier.ts'
import type { LinearModel } from '../../../baseline/model.ts'
import { type BaselineSettings, parseSettings, settingsJson } from '../../../baseline/settings.ts'
import { type Dictionary, type Preprocessor, type Steps, createPreprocessor } from '../../../baseline/steps.ts'
import { modelFrom, tensorsOf } from '../../../baseline/tensors.ts'
import { PACKAGES, requirePackages } from '../../packages.ts'
import { BASELINE_FILE } from '../named.ts'

/** The dictionary that spelling is corrected by. */
export const englishDictionary = async (): Promise<Dictionary> => (await import('dictionary-en')).default

/** What turns texts into words by these steps. Throws a UserError if the packages for that are not installed. */
export async function openPreprocessor(steps: Steps): Promise<Preprocessor> {
  requirePackages('a baseline', PACKAGES.words)
  return createPreprocessor(steps, englishDictionary)
}

/** Writes a baseline into a folder. */
export async function saveBaseline(folder: string, model: LinearModel, settings: BaselineSettings): Promise<void> {
  await writeAtomic(join(folder, WEIGHTS_FILE), serialize(tensorsOf(model)))
  await writeAtomic(join(folder, BASELINE_FILE), `${JSON.stringify(settingsJson(settings), null, 2)}\n`)
}

/** How the baseline in a folder reads texts and answers. Throws a UserError, naming file and field, if it is not one. */
export async function settingsAt(folder: string): Promise<BaselineSettings> {
  const path = join(folder, BASELINE_FILE)
  return parseSettings(await readJson(path), path)
}

/**
 * Opens the baseline in a folder; `uncalibrated` leaves out the temperature and the thresholds that were fitted on
 * validation data. Throws a UserError, naming file and field, on anything that is not one.
 */
export async function openBaseline(
  folder: string,
  { uncalibrated = false }: { readonly uncalibrated?: boolean } = {},
): Promise<BaselineClassifier> {
  const settings = await settingsAt(folder)
  const preprocessor = await openPreprocessor(settings.steps)
  const file = await openSafetensors(join(folder, WEIGHTS_FILE))
  try {
    const plain = uncalibrated ? { temperature: undefined, thresholds: undefined } : {}
    return new BaselineClassifier(await modelFrom(file, settings), preprocessor, { ...settings.answers, ...plain })
  } finally {
    await file.close()
  }
}

// Writes for each adapter of exported.ts a folder that golden/check_peft.py reads: the base model, the adapter, the
// model with the adapter merged, and our logits.
//
//   node test/golden/peft/export.ts <folder>
import { join } from 'node:path'
import { argv } from 'node:process'
import { currentDevice } from '../../../engine/node/index.ts'
import { modelTensors } from '../../../models/loading.ts'
import { mergeLora } from '../../../models/lora.ts'
import { WEIGHTS_FILE, writeAtomic, writeSafetensors } from '../../../models/node/files.ts'
import { saveModel } from '../../../models/node/model.ts'
import { saveAdapter } from '../../../models/node/peft.ts'
import { baseModel, exportedModel, logitsOf, madeHere, peftCases, savedAgain } from './exported.ts'
import { ownParameters } from '../../../models/nn.ts'

const out = argv[2]
if (!out) throw new Error('where to? node test/golden/peft/export.ts <folder>')
for (const exported of [...madeHere, ...savedAgain]) {
  const folder = join(out, exported.name)
  const base = await baseModel(exported.family)
  const baseLogits = await logitsOf(base)
  await saveModel(join(folder, 'base'), base)
  if (exported.freshHead) {
    // As a published encoder is, without the head.
    const heads = base
      .head()
      .flatMap(ownParameters)
      .map(({ name }) => name)
    await writeSafetensors(
      join(folder, 'base', WEIGHTS_FILE),
      modelTensors(base).filter(({ name }) => !heads.includes(name)),
      { format: 'pt' },
    )
  }
  const model = await exportedModel(exported)
  await saveAdapter(join(folder, 'adapter'), model, 'base')
  const logits = await logitsOf(model)
  await mergeLora(model)
  await saveModel(join(folder, 'merged'), model)
  await writeAtomic(
    join(folder, 'case.json'),
    JSON.stringify({
      ...exported,
      batch: peftCases.batch,
      base: exported.freshHead ? null : baseLogits,
      logits,
      merged: await logitsOf(model),
    }),
  )
  console.log(exported.name)
}
;(await currentDevice()).close()

// `tilegrad/node`: what needs Node. Adapters, model and adapter folders, the Hugging Face Hub, and checkpoints on disk.
import '../../engine/node/index.ts'

export { listAdapters, openAdapter, type AdapterDescription, type OpenedAdapter } from '../../engine/node/adapters.ts'
export {
  cachedDataset,
  cachedModel,
  resolveDataset,
  resolveModel,
  type DatasetOptions,
  type HubOptions,
  type ModelOptions,
  type Resolved,
} from '../../models/node/hub.ts'
export { openSafetensors, openWeights, writeSafetensors } from '../../models/node/files.ts'
export { saveModel } from '../../models/node/model.ts'
export { loadFile, saveFile } from '../../models/node/saved.ts'
export { openAdapter as openAdapterFolder, readAdapterConfig, saveAdapter } from '../../models/node/peft.ts'
export { loadTokenizer, saveTokenizer } from '../../models/node/tokenizer.ts'
export {
  SharedWeights,
  classifierOf,
  openClassifier,
  openTrained,
  type OpenOptions,
  type Trained,
} from '../../models/node/open-classifier.ts'
export { Checkpoints } from './run/checkpoints.ts'

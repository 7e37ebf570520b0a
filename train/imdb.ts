#!/usr/bin/env node
// `node train/imdb.ts`: `tilegrad fine-tune` with the study's defaults, on IMDb's reviews.
import './node/cli/compile-cache.ts'

const [{ runCommand }, { fineTune }] = await Promise.all([
  import('./node/cli/main.ts'),
  import('./node/cli/fine-tune.ts'),
])
await runCommand(argv => fineTune(argv, 'imdb'))

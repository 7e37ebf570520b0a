#!/usr/bin/env node
// `node train/imdb.ts`: `tilegrad fine-tune` with the study's defaults, on IMDb's reviews.
import { fineTune } from './node/cli/fine-tune.ts'
import { runCommand } from './node/cli/main.ts'

await runCommand(argv => fineTune(argv, 'imdb'))

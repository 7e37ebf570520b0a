// Keeps what Node makes of our TypeScript, so that the next start does not strip and compile it again: by the content
// of each file, in the checkout's .cache or the user's cache. Only modules that are loaded after this one are kept, so entry points import
// it first and everything else dynamically. Where the folder can't be written, starts are slower and nothing else.
import { enableCompileCache } from 'node:module'
import { join } from 'node:path'
import { cacheFolder } from '../../../engine/node/installed.ts'

enableCompileCache(join(cacheFolder, 'node'))

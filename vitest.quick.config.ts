// `npm run test:quick`, to run after each edit: all test files that cost little, which leaves out most that need an
// adapter.
import { globSync } from 'node:fs'
import { defineConfig } from 'vitest/config'
import { isQuick, recordedCosts } from './test/support/costs.ts'
import config from './vitest.config.ts'

const costs = recordedCosts()
const { projects: _all, ...shared } = config.test ?? {}

const files = globSync('test/**/*.test.ts').map(file => file.replaceAll('\\', '/'))

export default defineConfig({ test: { ...shared, include: files.filter(file => isQuick(costs, file)) } })

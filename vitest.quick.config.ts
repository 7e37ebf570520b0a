// `npm run test:quick`, to run after each edit: all test files that cost little, which leaves out most that need an
// adapter.
import { defineConfig } from 'vitest/config'
import { isQuick, recordedCosts } from './test/support/costs.ts'
import config, { projects } from './vitest.config.ts'

const costs = recordedCosts()

export default defineConfig({ test: { ...config.test, projects: projects(file => isQuick(costs, file)) } })

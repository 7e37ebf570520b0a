// Wrong gradient rules, one at a time: the property tests find each.
import { describePlanted } from './describe.ts'
import { wrongRules } from './rules.ts'

describePlanted(wrongRules)

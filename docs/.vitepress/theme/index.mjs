// The default theme, with room for lines of code.
import DefaultTheme from 'vitepress/theme'
import './wide.css'

export default DefaultTheme

import type { ComponentChildren } from 'preact'

/** What is wrong with what was typed, or why it could not be done; announced immediately. */
export function ProblemText({ children, id }: { children: ComponentChildren; id?: string }) {
  if (!children) return null
  return (
    <p id={id} class="problem-text" role="alert">
      {children}
    </p>
  )
}

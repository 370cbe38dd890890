"""Perturbations of the wrapper: what a chat template or an editor puts before the code.

A wrapper is text before the program and no part of it: programs are judged without it, and a
completion ends where it closes the code fence that the wrapper opened.
"""

from __future__ import annotations

FENCE = "```"

WRAPPERS = {
    "chat_instruction": "Complete the following Python function.\n\n",
    "chat_request": "I need help with some code. Can you finish this Python function for me?\n\n",
    "chat_fenced": "```python\n",
    "chat_instruction_fenced": "Complete the following Python function.\n\n```python\n",
    "chat_alpaca": "### Instruction:\nComplete the Python function below.\n\n### "
    "Response:\n```python\n",
    "chat_magicoder": "@@ Instruction\nComplete the Python function below.\n\n@@ "
    "Response\n```python\n",
    "chat_question_answer": "Question: How would you complete this Python "
    "function?\n\nAnswer:\n```python\n",
    "chat_markup": "<|im_start|>user\nComplete this Python "
    "function.<|im_end|>\n<|im_start|>assistant\n```python\n",
    "chat_system": "You are a careful programmer who writes correct Python and says nothing "
    "else.\n\n",
    "chat_turns": "User: Complete this Python function.\nAssistant: Here is the whole "
    "function:\n\n```python\n",
    "chat_chinese": "\u8bf7\u8865\u5168\u4e0b\u9762\u7684 Python \u51fd\u6570\u3002\n\n",
    "chat_german": "Vervollst\u00e4ndige die folgende Python-Funktion.\n\n",
}
"""Text before the prompt by method."""


def unfenced(completion: str) -> str:
    """The completion up to the line that closes a code fence, if one does."""
    lines = completion.split("\n")
    closing = next(
        (at for at, line in enumerate(lines) if at and line.startswith(FENCE)), len(lines)
    )
    return "\n".join(lines[:closing]) + ("\n" if closing < len(lines) else "")

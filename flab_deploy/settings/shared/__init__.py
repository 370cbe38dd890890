"""What settings of several stages share.

`bounds` checks what fields declare, `changes` changes some fields of a stage; `device` and `prompt`
are fields that stages inherit.
"""

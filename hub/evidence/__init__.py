"""What a node keeps of the batches it sent and received, and whether it still proves what it proved on the day.

`stored` judges one file from its bytes, `tree` a folder of them and what chains them, `kept` finds what this node has
of a batch in ledger and folders, `bundle` makes of it what others verify. Command line and console ask the same code.
"""

"""Visual question answering: from pictures with questions to a model of two streams that answers.

The text and the picture are streams joined by co-attention; the answers that training has most often are the classes,
read off the first state of the text. With several annotators' answers each is a yes or no
of its own, with credit for what some said (Antol et al. 2015). A statement that is true or false is a question too, and
a question may be about two pictures, which then lie side by side.
"""

from .asker import Answered, Asker, load
from .closing import close, evaluate, farewell, write_report
from .prepared import prepare
from .task import build, complete

__all__ = ["Answered", "Asker", "build", "close", "complete", "evaluate", "farewell", "load", "prepare", "write_report"]

"""Files and folders, no physics: text that is read, results that appear whole, what an unfinished run has done."""

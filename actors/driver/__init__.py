"""The driver's process: ``run`` brings everything up and runs the loop; the others are what the loop calls that
talks to more than one role.
"""

"""Selection, learners, cross-validation and signatures."""

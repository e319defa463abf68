"""What is measured of subjects and searchers: the paper's questions, and a careful reader's, each a table."""

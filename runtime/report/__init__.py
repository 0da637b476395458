"""The accuracy-drop report: its content, its words, its plots, and each form it takes."""

"""Where the faces are in a picture, and which part of it the model was trained to see."""

"""What a device needs: labels, preprocessing, bundles, backends and statistics."""
